"""From an alarm to better data: judging what was scored, and bringing it in."""
