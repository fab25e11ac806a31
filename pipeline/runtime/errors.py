"""The errors a user of a package meets. Each message names the place, the cause and the cure."""

from __future__ import annotations


class PackageError(Exception):
    """A package, or something it needs, cannot be used here."""


class CallError(PackageError):
    """A call was refused; the session is as it was before the call."""
