"""Take back at once: recalls, and stricter versions in place of what was released."""
