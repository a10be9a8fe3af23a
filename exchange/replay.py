"""Preview and replay: what a draft policy would release and remove, beside the policy in force."""
