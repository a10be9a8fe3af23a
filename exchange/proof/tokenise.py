"""What a member runs to turn its own values into tokens without showing them."""
