import pytest

from passes.package.licences import ModelLicence, licence_files

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("licence", "sentence"),
    [
        ("apache-2.0", "declares Apache-2.0; the text is in LICENSES/Apache-2.0.txt."),
        ("mit", "declares MIT; the text is at\nhttps://spdx.org/licenses/MIT.html."),
        ("llama3.2", "declares 'llama3.2'; its authors tell what that allows."),
        (None, "declares no licence; ask its authors before you pass it on."),
    ],
)
def test_the_notice_says_what_is_under_what(licence: str | None, sentence: str) -> None:
    files = licence_files(ModelLicence("SmolLM2", DIGEST, licence))
    notice = files["LICENSES/NOTICE.txt"]
    assert sentence.replace("\n", " ") in notice
    assert f"the model SmolLM2 ({DIGEST})" in notice
    assert "END OF TERMS AND CONDITIONS" in files["LICENSES/Apache-2.0.txt"]
