"""Screens simulated from gene networks whose equations no probe shares: what must be told apart is known."""
