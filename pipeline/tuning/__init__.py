"""Measuring of candidate schedules: builders and runners in processes of their own, a fleet."""
