"""What comes between a server and its disk: its system calls are seen before they are done."""
