"""Lets `python -m pipeline.runtime` generate text."""

import sys

from .cli import main

sys.exit(main())
