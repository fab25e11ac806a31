"""Which candidates are worth measuring: scores of scheduled programs, higher is better.

scorer        what a search asks; the orders that learn nothing
prior         seconds estimated from features alone
ranking       a loss over pairs of candidates of one task
model         the learned model: corrects the prior by what was measured
model_file    that model as text
calibration   how well scores agreed with what was measured afterwards
"""
