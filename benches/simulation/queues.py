"""The queues of a server with N shards, event by event: connections, shards, workers, stall rule.

Time is in milliseconds. A connection sends a request, waits for the answer, thinks, and sends the
next: its kernel's hash has put it on one shard for its life. A shard's requests wait in one queue;
its W workers take the oldest. With the stall rule a shard looks at its queue each millisecond: if a
request that was there at the last look still waits, the shard is overdue, one idle worker of
another shard is woken, and any worker that has nothing to do takes requests of overdue shards
(src/handoff/queue.rs `tick`, src/handoff/seat.rs `claim`).
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass

TICK_MS = 1.0
# What waking a worker on another core costs until it runs.
WAKE_MS = 0.05

SHARDED, STALL_RULE, ONE_QUEUE = "without the rule", "with the rule", "one queue for all"


def exponential(chance: random.Random) -> float:
    return chance.expovariate(1.0)


def bimodal(chance: random.Random) -> float:
    """Half a millisecond; 0.5 % take 100 ms."""
    return 100.0 if chance.random() < 0.005 else 0.5


SERVICES = {"exponential": (exponential, 1.0), "bimodal": (bimodal, 0.5 * 0.995 + 100 * 0.005)}


@dataclass(frozen=True)
class Setting:
    shards: int
    workers_per_shard: int
    connections_per_shard: int
    # Share of the workers' time that is asked for when nothing waits.
    load: float
    service: str
    rule: str
    requests: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    p50_ms: float
    p99_ms: float
    p999_ms: float
    # Share of the workers' time that was used.
    used: float
    # Share of the requests that a worker of another shard took.
    moved: float


class Shard:
    __slots__ = ("queue", "idle", "pushed", "popped", "mark", "overdue", "ticking")

    def __init__(self, workers: int):
        # Arrival times with the connections that wait for the answers.
        self.queue: deque[tuple[float, int]] = deque()
        self.idle = workers
        self.pushed = self.popped = self.mark = 0
        self.overdue = self.ticking = False


ARRIVE, FINISH, TICK = range(3)


class Simulation:
    def __init__(self, setting: Setting):
        self.setting = setting
        self.chance = random.Random(setting.seed)
        self.serve, mean = SERVICES[setting.service]
        one_queue = setting.rule == ONE_QUEUE
        count = 1 if one_queue else setting.shards
        workers = setting.shards * setting.workers_per_shard
        self.shards = [Shard(workers // count) for _ in range(count)]
        connections = setting.shards * setting.connections_per_shard
        # So that the connections would ask for `load` of the workers if nothing ever waited.
        self.think = connections * mean / (setting.load * workers) - mean
        if self.think < 0:
            raise ValueError("too few connections for this load")
        self.home = [self.chance.randrange(count) for _ in range(connections)]
        self.events: list[tuple[float, int, int, int]] = []
        self.order = 0
        self.waits: list[float] = []
        self.busy = 0.0
        self.moved = 0
        self.now = 0.0
        for connection in range(connections):
            self.at(self.chance.expovariate(1 / (self.think + mean)), ARRIVE, connection)

    def at(self, time: float, kind: int, who: int, connection: int = 0) -> None:
        self.order += 1
        heapq.heappush(self.events, (time, self.order, kind, (who, connection)))

    def run(self) -> Outcome:
        # Until each connection has come round three times the queues fill: that is not counted.
        skip = 3 * len(self.home)
        while len(self.waits) < self.setting.requests + skip:
            self.now, _, kind, (who, connection) = heapq.heappop(self.events)
            if kind == ARRIVE:
                self.arrive(who)
            elif kind == FINISH:
                self.at(self.now + self.chance.expovariate(1 / self.think), ARRIVE, connection)
                self.release(who)
            else:
                self.tick(who)
        waits = sorted(self.waits[skip:])
        workers = self.setting.shards * self.setting.workers_per_shard
        return Outcome(
            percentile(waits, 0.5), percentile(waits, 0.99), percentile(waits, 0.999),
            self.busy / (workers * self.now), self.moved / len(self.waits),
        )  # fmt: skip

    def arrive(self, connection: int) -> None:
        index = self.home[connection]
        shard = self.shards[index]
        shard.queue.append((self.now, connection))
        shard.pushed += 1
        if shard.idle:
            shard.idle -= 1
            self.take(index, index)
        elif self.setting.rule == STALL_RULE and not shard.ticking:
            shard.ticking = True
            self.at(self.now + TICK_MS, TICK, index)

    def take(self, source: int, worker_of: int, late: float = 0.0) -> None:
        """A worker of `worker_of` begins the oldest request of `source`."""
        shard = self.shards[source]
        arrived, connection = shard.queue.popleft()
        shard.popped += 1
        self.moved += source != worker_of
        self.waits.append(self.now + late - arrived)
        service = self.serve(self.chance)
        self.busy += service
        self.at(self.now + late + service, FINISH, worker_of, connection)

    def release(self, index: int) -> None:
        """A worker of this shard has finished: it takes the next request, or goes idle."""
        if (source := self.source_for(index)) is not None:
            self.take(source, index)
        else:
            self.shards[index].idle += 1

    def source_for(self, index: int) -> int | None:
        if self.shards[index].queue:
            return index
        if self.setting.rule == STALL_RULE:
            count = len(self.shards)
            for step in range(1, count):
                other = self.shards[(index + step) % count]
                if other.overdue and other.queue:
                    return (index + step) % count
        return None

    def tick(self, index: int) -> None:
        shard = self.shards[index]
        shard.overdue = shard.mark > shard.popped
        shard.mark = shard.pushed
        if shard.overdue and shard.queue:
            helper = next((i for i, other in enumerate(self.shards) if other.idle), None)
            if helper is not None:
                self.shards[helper].idle -= 1
                self.take(index, helper, WAKE_MS)
        if shard.queue:
            self.at(self.now + TICK_MS, TICK, index)
        else:
            shard.ticking = shard.overdue = False


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
