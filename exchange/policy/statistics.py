"""Statistics of competitors: k, dominance, age, subtraction, rounding; suppressed by default."""
