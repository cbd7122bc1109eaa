"""The measurements of a run by case and peer, and what they say together."""

import statistics
from collections import defaultdict

from peers import FLOOR, OWN

# (highest - lowest) / median over the rounds beyond which a figure is marked as noisy.
NOISY = 0.15


class Cells:
    """Only what succeeded counts; what failed and what was not timed is kept with the reason."""

    def __init__(self, rows: list[dict], cases: list):
        self.rows = [row for row in rows if not row["untimed"]]
        self.failed = [row for row in self.rows if row["failure"]]
        self.untimed = {
            (row["case"], row["peer"]): row["untimed"] for row in rows if row["untimed"]
        }
        self.by_cell = defaultdict(list)
        for row in self.rows:
            if not row["failure"]:
                self.by_cell[row["case"], row["peer"]].append(row)
        self.figure_of = {case.name: case.figure for case in cases}
        self.cases = [case.name for case in cases if any(c == case.name for c, _ in self.by_cell)]
        self.peers = list(dict.fromkeys(row["peer"] for row in self.rows))

    def values(self, case: str, peer: str | None, column: str = "") -> list[float]:
        column = column or self.figure_of[case]
        rows = self.by_cell.get((case, peer), [])
        return [float(row[column]) for row in rows if row[column] != ""]

    def median(self, case: str, peer: str | None, column: str = "") -> float | None:
        values = self.values(case, peer, column)
        return statistics.median(values) if values else None

    def spread(self, case: str, peer: str, column: str = "") -> float:
        values = self.values(case, peer, column)
        middle = statistics.median(values) if values else 0
        return (max(values) - min(values)) / middle if middle else 0.0

    def is_noisy(self, case: str, peer: str, column: str = "") -> bool:
        return self.spread(case, peer, column) > NOISY

    def ratio(self, case: str, peer: str, other: str | None) -> float | None:
        own, others = self.median(case, peer), self.median(case, other)
        return own / others if own and others else None

    def best_peer(self, case: str) -> str | None:
        # The floor is no server: nobody can choose it.
        peers = [p for p in self.peers if p != FLOOR.name and not p.startswith(OWN)]
        peers = [peer for peer in peers if self.median(case, peer)]
        return min(peers, key=lambda peer: self.median(case, peer), default=None)

    def owns(self) -> list[str]:
        """The rows of uwring that were measured."""
        rows = [peer for peer in self.peers if peer.startswith(OWN)]
        return [peer for peer in rows if any(self.median(case, peer) for case in self.cases)]

    def spreads(self) -> list[float]:
        """The spread of each cell that was measured more than once, in order."""
        cells = [cell for cell, rows in self.by_cell.items() if len(rows) > 1]
        return sorted(self.spread(case, peer) for case, peer in cells)
