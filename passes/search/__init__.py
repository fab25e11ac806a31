"""Search stage: every loop function gets a schedule.

defaults/   rules that choose analytically from the program and the target's facts, no measuring
fold        weights take the layouts that schedules give to parameters
stage       kernels → scheduled kernels, one set a target level
"""
