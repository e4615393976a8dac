"""A voting storm: everybody votes for one paper, every fifth twice, from several threads, while imports write the same paper.

As a program it storms the database of PRESSRUN_HOME and prints the votes, the count and the problems as JSON.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

SNN = "2509.23253"
TITLE = "Lateral Inhibition Trains Deep Spiking Networks"


def storm(voters: int, threads: int = 10, imports: int = 10) -> dict[str, object]:
    """Let it happen to the paper SNN, which has 31 found votes. Gives the vote rows, the stored count, and what went wrong."""
    from django.contrib.auth.models import User
    from django.db import connections

    from pressrun import catalog
    from pressrun.web.community import voting
    from pressrun.web.community.models import Vote
    from pressrun.web.papers.ingest import Report, save
    from pressrun.web.papers.models import Paper

    paper = Paper.objects.get(public_id=SNN)
    people = User.objects.bulk_create(User(username=f"voter{n}") for n in range(voters))
    problems: list[str] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as problem:
                problems.append(repr(problem))
            finally:
                connections.close_all()

        return run

    def votes(mine: list[User]) -> Callable[[], None]:
        def run() -> None:
            for n, person in enumerate(mine):
                voting.vote(person, paper, on=True)
                if n % 5 == 0:
                    voting.vote(person, paper, on=True)

        return guarded(run)

    def importing() -> None:
        for n in range(imports):
            save([catalog.Paper(title=TITLE, arxiv_id=SNN, upvotes=31, note=f"note {n}")], Report())

    running = [threading.Thread(target=votes(people[n::threads])) for n in range(threads)]
    running.append(threading.Thread(target=guarded(importing)))
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    count = Paper.objects.get(public_id=SNN).votes
    return {"votes": Vote.objects.filter(paper=paper).count(), "count": count, "problems": problems}


if __name__ == "__main__":
    import sys

    import django

    django.setup()
    from django.core.management import call_command

    from pressrun import catalog
    from pressrun.web.papers.ingest import Report, save

    call_command("migrate", verbosity=0)
    save([catalog.Paper(title=TITLE, arxiv_id=SNN, upvotes=31)], Report())
    json.dump(storm(int(sys.argv[1])), sys.stdout)
