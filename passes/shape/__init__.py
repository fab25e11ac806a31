"""Symbolic shapes as wide as the model allows → the bounds of a recipe.

bind    dims replaced, types deduced anew, assumptions that became certain dropped
stage   the shape stage
"""
