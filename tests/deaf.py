"""A program that `exchange.children` starts in tests: it reads nothing, and does not end."""

import time

if __name__ == "__main__":
    time.sleep(60)
