"""What was checked, and what did not hold.

A check belongs to a section, which may be entered many times. At the end sections are printed with
their counts; one in which something did not hold also with what it was, and makes the run fail.
"""

import sys
import time
from collections import Counter

# Findings printed for each section: enough to see what they have in common.
FINDINGS_SHOWN = 12


class Section:
    """One service, as one client sees it."""

    def __init__(self, name):
        self.name = name
        self.counts = Counter()
        self.findings = []
        self.notes = []
        self.seconds = 0.0

    def hold(self, condition, what, finding=""):
        """Counts `what` if the condition holds, else keeps the finding."""
        if condition:
            self.counts[what] += 1
        else:
            self.findings.append(f"{what}: {finding}")
        return bool(condition)

    def same(self, found, wanted, what, where=""):
        """Holds if both are equal."""
        return self.hold(found == wanted, what, f"{where}: {found!r:.300}, not {wanted!r:.300}")

    def fail(self, finding):
        self.findings.append(finding)

    def count(self, what, by=1):
        self.counts[what] += by

    def note(self, text):
        """Something that a reader of the report should know, and no failure."""
        self.notes.append(text)

    def print(self):
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        print(f"{'FAIL' if self.findings else 'ok':4} {self.name}: {counts} ({self.seconds:.1f} s)")
        for note in self.notes:
            print(f"       {note}")
        for finding in self.findings[:FINDINGS_SHOWN]:
            print(f"     - {finding}")
        more = len(self.findings) - FINDINGS_SHOWN
        if more > 0:
            print(f"     - and {more} more")
        sys.stdout.flush()


class Tally:
    """All sections of a run. Use `with tally.section(name) as section`."""

    def __init__(self):
        self.sections = {}
        self.current = None
        self.begun = 0.0

    def section(self, name):
        self.current = self.sections.setdefault(name, Section(name))
        return self

    def __enter__(self):
        self.begun = time.monotonic()
        return self.current

    def __exit__(self, kind, error, trace):
        section = self.current
        section.seconds += time.monotonic() - self.begun
        if kind is not None and issubclass(kind, Exception):
            import traceback

            where = traceback.extract_tb(trace)
            lines = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(where[-4:]))
            section.fail(f"{kind.__name__}: {error!s:.400} ({lines})")
        return kind is None or issubclass(kind, Exception)

    def finish(self, path):
        """Prints everything, and writes what did not hold to a file in full; the exit code."""
        for section in self.sections.values():
            section.print()
        findings = [
            f"{section.name}: {finding}\n" for section in self.sections.values() for finding in section.findings
        ]
        path.write_text("".join(findings))
        bad = [section.name for section in self.sections.values() if section.findings]
        if bad:
            print(f"did not hold: {', '.join(bad)}")
        return 1 if bad else 0
