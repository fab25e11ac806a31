"""What a user types after `doit`; the loader stands in front of all of it.

    doit's arguments --variables--> Request --session--> Build --> plan, build, generate, list

Modules here are imported at every call of doit, so they import nothing heavy at the top.
"""
