"""From a subject to a verdict: what is asked of whom, what came, and who waits for it."""
