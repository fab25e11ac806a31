"""Automatic tensorization: from a block and an instruction to programs that use it.

mapping      which iterators of the block become which of the instruction's, and what that takes
candidates   all such mappings, by which operands each iterator touches, best first
apply        the steps of a schedule that a mapping stands for
"""
