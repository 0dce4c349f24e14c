"""The minimum cut of a directed graph, by Dinic's algorithm."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

INFINITE = 1 << 60


@dataclass
class Graph:
    """Edges with capacities between any hashable nodes.

    Capacities are integers: sums of floats leave rests that look like room.
    """

    heads: list[int] = field(default_factory=list)
    room: list[int] = field(default_factory=list)  # of edge 2 k and of its reverse 2 k + 1
    edges: list[list[int]] = field(default_factory=list)
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def node(self, name: Hashable) -> int:
        """Return the number of a node, a new one where it is not known."""
        if name not in self.numbers:
            self.numbers[name] = len(self.edges)
            self.edges.append([])
        return self.numbers[name]

    def connect(self, tail: Hashable, head: Hashable, capacity: int) -> None:
        """Add an edge; it costs its capacity where the tail lies on the source's side and the head does not."""
        a, b = self.node(tail), self.node(head)
        if a == b or capacity <= 0:
            return
        self.edges[a].append(len(self.heads))
        self.edges[b].append(len(self.heads) + 1)
        self.heads += [b, a]
        self.room += [capacity, 0]

    def cut(self, source: Hashable, sink: Hashable) -> tuple[int, set[Hashable]]:
        """Return the least capacity that parts source from sink, and the nodes on the side of the sink.

        Of several such cuts the one with the fewest nodes on the side of the sink; an infinite one is an error of the
        caller. Dinitz 1970; time grows with the number of edges times the number of phases, here two or three.
        """
        s, t = self.node(source), self.node(sink)
        total = 0
        while (level := self._levels(s))[t] >= 0:
            place = [0] * len(self.edges)
            while (pushed := self._push(s, t, level, place)) > 0:
                total += pushed
        towards = self._reaching(t)
        return total, {name for name, number in self.numbers.items() if number in towards}

    def _levels(self, start: int) -> list[int]:
        level = [-1] * len(self.edges)
        level[start] = 0
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for edge in self.edges[node]:
                head = self.heads[edge]
                if self.room[edge] > 0 and level[head] < 0:
                    level[head] = level[node] + 1
                    queue.append(head)
        return level

    def _push(self, start: int, stop: int, level: list[int], place: list[int]) -> int:
        """Push along one path of ascending levels; return how much went through."""
        path: list[int] = []
        node = start
        while node != stop:
            edges = self.edges[node]
            while place[node] < len(edges):
                edge = edges[place[node]]
                if self.room[edge] > 0 and level[self.heads[edge]] == level[node] + 1:
                    break
                place[node] += 1
            else:
                if not path:
                    return 0
                node = self.heads[path.pop() ^ 1]
                place[node] += 1
                continue
            path.append(edge)
            node = self.heads[edge]
        amount = min(self.room[edge] for edge in path)
        for edge in path:
            self.room[edge] -= amount
            self.room[edge ^ 1] += amount
        return amount

    def _reaching(self, stop: int) -> set[int]:
        """Return the nodes from which there is still room towards `stop`."""
        found = {stop}
        queue = deque([stop])
        while queue:
            node = queue.popleft()
            for edge in self.edges[node]:
                tail = self.heads[edge]
                if self.room[edge ^ 1] > 0 and tail not in found:
                    found.add(tail)
                    queue.append(tail)
        return found
