"""Which candidates to measure.

candidates     the candidates of a task: made from decisions, their features
strategy       what a strategy is asked and told
evolutionary   chains of small changes, scored by a cost model
drawn          draws, all there is, what others found
"""
