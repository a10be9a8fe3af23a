"""The compliance workspace: twenty saved questions, each within what the asker's role may see."""
