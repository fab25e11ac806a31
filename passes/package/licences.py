"""What the parts of a package may be used for: files for its LICENSES folder."""

from __future__ import annotations

from dataclasses import dataclass

from .apache import APACHE_2_0

# Identifiers as model files write them (lower case) → as SPDX does.
_SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "GPL-3.0",
        "LGPL-3.0",
        "MIT",
        "Unlicense",
    )
}


@dataclass(frozen=True)
class ModelLicence:
    """What is known of the model: its name, its source's digest, and the licence it declares."""

    name: str
    digest: str
    licence: str | None


def licence_files(model: ModelLicence) -> dict[str, str]:
    """path in the package → text: a notice that says what is under which licence, and the texts
    that must travel along.
    """
    declared = _SPDX.get((model.licence or "").lower(), model.licence)
    if declared is None:
        terms = "The model's file declares no licence; ask its authors before you pass it on."
    elif declared == "Apache-2.0":
        terms = "The model's file declares Apache-2.0; the text is in LICENSES/Apache-2.0.txt."
    elif declared in _SPDX.values():
        terms = (
            f"The model's file declares {declared}; the text is at "
            f"https://spdx.org/licenses/{declared}.html."
        )
    else:
        terms = f"The model's file declares '{declared}'; its authors tell what that allows."
    notice = f"""\
Weights, tokenizer and chat template
    come from the model {model.name} ({model.digest}).
    The weights were laid out anew for the kernels of this package.
    {terms}

Code (objects, libraries and the runtime)
    was made by tensorkiln, Apache-2.0; the text is in LICENSES/Apache-2.0.txt.
"""
    return {"LICENSES/NOTICE.txt": notice, "LICENSES/Apache-2.0.txt": APACHE_2_0}
