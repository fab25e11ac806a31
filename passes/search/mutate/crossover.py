"""The decisions of two candidates, site by site."""

from __future__ import annotations

from random import Random

from passes.search.space.decisions import Decisions


def crossed(one: Decisions, other: Decisions, random: Random) -> Decisions:
    """At each site what one of the two decided; where only one was asked, what that did."""
    both = {**other, **one}
    return {
        site: other[site] if site in other and random.random() < 0.5 else choice
        for site, choice in both.items()
    }
