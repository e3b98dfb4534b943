"""What processes of ours write and sync, and what a power loss has to leave of it."""

from __future__ import annotations

LARGE = 200_000  # above what is copied as a whole

CASES: dict[str, tuple[str, dict[str, bytes]]] = {
    "what-came-after-the-sync": (
        "f = make('a'); os.pwrite(f, b'one', 0); os.fsync(f); os.pwrite(f, b'two', 3)",
        {"a": b"one"},
    ),
    "what-fdatasync-synced": (
        "f = make('a'); os.pwrite(f, b'one', 0); os.fdatasync(f); os.pwrite(f, b'two', 0)",
        {"a": b"one"},
    ),
    "all-synced": ("f = make('a'); os.write(f, b'one'); os.fsync(f)", {"a": b"one"}),
    "never-synced-and-no-name": ("f = make('a'); os.write(f, b'one')", {}),
    "never-synced-but-named": (
        "f = make('a'); os.write(f, b'one'); g = make('b'); os.write(g, b'two'); os.fsync(g)",
        {"a": b"", "b": b"two"},
    ),
    "appended-by-write": (
        (
            f"f = make('a'); os.write(f, b'x' * {LARGE}); os.fsync(f)\n"
            "os.write(f, b'yy'); os.fsync(f); os.write(f, b'zz')"
        ),
        {"a": b"x" * LARGE + b"yy"},
    ),
    "overwritten-and-not-synced": (
        f"f = make('a'); os.write(f, b'x' * {LARGE}); os.fsync(f); os.pwrite(f, b'yy', 1000)",
        {"a": b"x" * LARGE},
    ),
    "overwritten-and-synced": (
        (
            f"f = make('a'); os.write(f, b'x' * {LARGE}); os.fsync(f); os.pwrite(f, b'yy', 1000)\n"
            "os.fsync(f); os.pwrite(f, b'zz', 1000)"
        ),
        {"a": b"x" * 1000 + b"yy" + b"x" * (LARGE - 1002)},
    ),
    "another-descriptor-syncs": (
        "f = make('a'); os.pwrite(f, b'one', 0); os.fsync(os.open(path('a'), os.O_RDONLY))",
        {"a": b"one"},
    ),
    "sync-of-another-file": (
        (
            "f = make('a'); os.pwrite(f, b'1', 0); os.fsync(f); os.pwrite(f, b'2', 0)\n"
            "g = make('b'); os.fsync(g)"
        ),
        {"a": b"1", "b": b""},
    ),
    "renamed-and-not-synced": (
        "f = make('a.tmp'); os.write(f, b'new'); os.fsync(f); os.rename(path('a.tmp'), path('a'))",
        {"a.tmp": b"new"},
    ),
    "renamed-and-the-folder-synced": (
        (
            "f = make('a.tmp'); os.write(f, b'new'); os.fsync(f)\n"
            "os.rename(path('a.tmp'), path('a')); sync_folder()"
        ),
        {"a": b"new"},
    ),
    "renamed-over-and-not-synced": (
        (
            "f = make('a'); os.write(f, b'old'); os.fsync(f)\n"
            "g = make('t'); os.write(g, b'new'); os.rename(path('t'), path('a'))"
        ),
        {"a": b"old"},
    ),
    "removed-and-not-synced": (
        "f = make('a'); os.write(f, b'one'); os.fsync(f); os.close(f); os.unlink(path('a'))",
        {"a": b"one"},
    ),
    "removed-and-the-folder-synced": (
        "f = make('a'); os.write(f, b'one'); os.fsync(f); os.unlink(path('a')); sync_folder()",
        {},
    ),
    "removed-and-made-again": (
        (
            "f = make('a'); os.write(f, b'one'); os.fsync(f); os.close(f); os.unlink(path('a'))\n"
            "g = make('b'); os.write(g, b'two')"
        ),
        {"a": b"one"},
    ),
    "written-synchronously": (
        (
            "f = make('a.tmp', os.O_TRUNC | os.O_SYNC); os.write(f, b'one'); os.close(f)\n"
            "os.rename(path('a.tmp'), path('a')); sync_folder()"
        ),
        {"a": b"one"},
    ),
    "written-synchronously-later-renamed": (
        (
            "f = make('a.tmp', os.O_DSYNC); os.write(f, b'one'); sync_folder()\n"
            "os.write(f, b'two'); os.rename(path('a.tmp'), path('a'))"
        ),
        {"a.tmp": b"onetwo"},
    ),
    "written-synchronously-then-not": (
        (
            "f = make('a', os.O_SYNC); os.write(f, b'one'); os.close(f); sync_folder()\n"
            "g = make('a'); os.pwrite(g, b'two', 3)"
        ),
        {"a": b"one"},
    ),
    "a-name-once-opened-synchronously": (
        (
            "f = make('a', os.O_SYNC); os.write(f, b'one'); os.close(f); os.unlink(path('a'))\n"
            "g = make('a'); os.write(g, b'two'); sync_folder()"
        ),
        {"a": b""},
    ),
    "truncated-on-opening": (
        (
            "f = make('a'); os.write(f, b'one'); os.fsync(f); g = make('a', os.O_TRUNC)\n"
            "os.write(g, b'2')"
        ),
        {"a": b"one"},
    ),
    "truncated-on-opening-and-synced": (
        (
            f"f = make('a'); os.write(f, b'1' * {LARGE}); os.fsync(f); g = make('a', os.O_TRUNC)\n"
            f"os.write(g, b'2' * {LARGE}); os.fsync(g)"
        ),
        {"a": b"2" * LARGE},
    ),
    "cut-and-not-synced": (
        "f = make('a'); os.write(f, b'one'); os.fsync(f); os.ftruncate(f, 1)",
        {"a": b"one"},
    ),
    "cut-lengthened-and-synced": (
        (
            f"f = make('a'); os.write(f, b'1' * {LARGE}); os.fsync(f)\n"
            f"os.truncate(path('a'), 100); os.ftruncate(f, {LARGE}); os.fsync(f)"
        ),
        {"a": b"1" * 100 + bytes(LARGE - 100)},
    ),
    "folders": (
        (
            "os.makedirs(path('x/y')); f = make('x/y/a'); os.write(f, b'one'); os.fsync(f)\n"
            "os.makedirs(path('z')); g = make('z/b')"
        ),
        {"x/y/a": b"one"},
    ),
    "a-folder-renamed": (
        (
            "os.makedirs(path('x')); f = make('x/a'); os.write(f, b'one'); os.fsync(f)\n"
            "os.rename(path('x'), path('y')); g = make('b'); os.fsync(g)"
        ),
        {"y/a": b"one", "b": b""},
    ),
    "relative-to-a-folder": (
        (
            "os.chdir(store); f = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one')\n"
            "os.fsync(f); d = os.open('.', os.O_RDONLY); os.unlink('a', dir_fd=d); os.fsync(d)"
        ),
        {},
    ),
    "everything-at-once": (
        "f = make('a'); os.pwrite(f, b'one', 0); os.sync(); os.pwrite(f, b'two', 0)",
        {"a": b"one"},
    ),
}
