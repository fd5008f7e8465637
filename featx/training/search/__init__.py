"""Hyper-parameters of a stage by search; `running` does it, `file` says what is tried."""
