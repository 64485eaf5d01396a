"""What a run will be able to ask before it runs: questions, power, answers, cost, and remedies for what it cannot."""
