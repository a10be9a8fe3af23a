"""Two verdicts on one object compared: what is newly shown, and what is newly hidden."""
