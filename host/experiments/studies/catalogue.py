# SPDX-License-Identifier: Apache-2.0
"""All studies by name, and how one of them is run, from its points to its files."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ornstein.host.experiments.studies import (
    converters,
    denoising,
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
        denoising.STUDY,
    )
}


@dataclass(frozen=True)
class Answer:
    """What a study found.

    Attributes
    ----------
    rows : parameters and results of each point
    lost : where the score has lost what the study's score calls lost
    conclusion : one sentence
    """

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
    """Measures the points of a study, and writes ``NAME.csv`` and ``NAME.json`` to ``folder``.

    ``NAME.jsonl`` in the same folder is the log of finished points, which a later run reads.
    Parameters and errors are those of
    :func:`ornstein.host.experiments.studies.sweep.run_sweep`; where ``draws`` is None, the study
    has its own number. Points of programs that the subject lacks are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep = Sweep(
        study.name,
        tuple(point for point in study.points if point["program"] in subject.programs),
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
        ),
        study.score,
    )
    lost = thresholds(rows, study.axes, study.score)
    answer = Answer(study, rows, lost, study.conclude(rows))
    _write(answer, folder, sweep)
    return answer


def _write(answer: Answer, folder: Path, sweep: Sweep) -> None:
    """Writes the answer as CSV, with a row for each point, and as JSON, with all draws."""
    study = answer.study
    write_csv(folder / f"{study.name}.csv", answer.rows)
    document = {
        "study": study.name,
        "question": study.question,
        "conclusion": answer.conclusion,
        "method": study.method,
        "draws": sweep.draws,
        "seed": sweep.seed,
        "score": study.score.name,
        "lost": study.score.lost,
        "thresholds": [asdict(row) for row in answer.lost],
        "rows": answer.rows,
    }
    (folder / f"{study.name}.json").write_text(json.dumps(document, indent=1) + "\n")
