"""How fast this machine follows objects, and what that is compared with: `samurai-batch bench`."""
