"""What ships with a package: load it, call its entry points, generate text.

    folder → Package (checked, weights mapped) → Session (a context) → call, generate, chat

It needs numpy and the standard library; `tokenizers` for text, `jinja2` for chat, `llvmlite` only
where a package has objects but no linked library. Imports are relative, because a wheel carries
this folder under a name of its own.
"""

from .errors import CallError, PackageError
from .package import Package
from .session import Session, Settings

__all__ = ["CallError", "Package", "PackageError", "Session", "Settings"]
