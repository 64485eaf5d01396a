"""State Transition models, run natively."""
