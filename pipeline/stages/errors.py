"""What can go wrong in a build, apart from code, lock, store and workers, which have their own."""

from __future__ import annotations


class BuildError(Exception):
    """A stage could not be built; the message is meant for the user."""


class Unknown(Exception):
    """A key cannot be told before something else has happened; the text says what."""
