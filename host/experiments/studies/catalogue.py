# SPDX-License-Identifier: Apache-2.0
"""The studies by name, and how one is run: points to rows, rows to an answer, an answer
to files.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ornstein.host.experiments.studies import (
    converters,
    mixing,
    noise,
    precision,
    temperature,
    wiring,
)
from ornstein.host.experiments.studies.analysis import Study, Threshold, thresholds, with_losses
from ornstein.host.experiments.studies.subject import Subject
from ornstein.host.experiments.studies.sweep import Sweep, run_sweep, write_csv

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        converters.STUDY,
        wiring.STUDY_MISMATCH,
        wiring.STUDY_YIELD,
        noise.STUDY,
        precision.STUDY,
        mixing.STUDY,
        temperature.STUDY,
    )
}


@dataclass(frozen=True)
class Answer:
    """What a study found: a row a point, where the score loses one per cent, and one sentence."""

    study: Study
    rows: list[dict]
    lost: list[Threshold]
    conclusion: str


def run_study(
    study: Study,
    subject: Subject,
    folder: Path,
    *,
    draws: int | None = None,
    seed: int = 0,
    workers: int = 0,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answer:
    """Measure a study's points and write ``NAME.csv`` (a row a point) and ``NAME.json`` to
    ``folder``.

    ``NAME.jsonl`` there is the log of finished points that a later run starts from. Parameters and
    errors are those of :func:`ornstein.host.experiments.studies.sweep.run_sweep`; ``draws`` is the study's own
    where None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep = Sweep(
        study.name,
        study.points,
        study.measure,
        subject,
        draws or study.draws,
        seed,
        subject.fingerprint,
    )
    rows = with_losses(
        run_sweep(
            sweep,
            folder / f"{study.name}.jsonl",
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
    )
    answer = Answer(study, rows, thresholds(rows, study.axes), study.conclude(rows))
    write_csv(folder / f"{study.name}.csv", rows)
    document = {
        "study": study.name,
        "question": study.question,
        "conclusion": answer.conclusion,
        "method": study.method,
        "draws": sweep.draws,
        "seed": seed,
        "loses_one_percent": [asdict(row) for row in answer.lost],
        "rows": rows,
    }
    (folder / f"{study.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return answer
