"""One self-contained HTML file: no links, no scripts, pictures inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment

from adiabat import __version__
from adiabat.report.figures import Picture

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>
body{font:16px/1.5 system-ui,sans-serif;color:#202124;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-weight:600;margin-bottom:.2rem} h2{font-weight:600;margin-top:2rem;border-bottom:1px solid #e0e0e0}
.sub{color:#5f6368;margin-top:0}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.5rem}
figure{margin:0;padding:1rem;border:1px solid #e0e0e0;border-radius:8px} figure img{max-width:100%}
figcaption{font-size:.95rem} .mark{font-weight:700;margin-right:.4rem} .good{color:#137333} .bad{color:#c5221f}
table{border-collapse:collapse} td,th{padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top}
th{color:#5f6368;font-weight:500} ul{padding-left:1.2rem}
</style></head><body>
<h1>{{ title }}</h1><p class="sub">{{ subtitle }}</p>
<p><span class="mark {{ 'good' if passed else 'bad' }}">{{ '✓' if passed else '✗' }}</span>{{ verdict }}</p>
<h2>Test errors</h2>
<table><tr>{% for h in errors.head %}<th>{{ h }}</th>{% endfor %}</tr>
{% for row in errors.rows %}<tr>{% for c in row %}<td>{{ c }}</td>{% endfor %}</tr>{% endfor %}</table>
<h2>Pictures</h2><div class="grid">
{% for p in pictures %}<figure><h3>{{ p.title }}</h3><img alt="{{ p.title }}" src="data:image/png;base64,{{ p.png }}">
<figcaption>{% if p.passed is not none %}<span class="mark {{ 'good' if p.passed else 'bad' }}">
{{ '✓' if p.passed else '✗' }}</span>{% endif %}{{ p.verdict }}</figcaption></figure>{% endfor %}
</div>
{% for section in sections %}<h2>{{ section.title }}</h2><ul>{% for line in section.lines %}<li>{{ line }}</li>
{% endfor %}</ul>{% endfor %}
<p class="sub">adiabat {{ version }}</p></body></html>
"""


def render(
    title: str,
    subtitle: str,
    verdict: str,
    passed: bool,
    metrics: Mapping[str, Any],
    pictures: Sequence[Picture],
    sections: Mapping[str, Sequence[str]],
) -> str:
    """The page.

    Args:
        title: heading.
        subtitle: one line on method and data.
        verdict: one sentence on the whole.
        passed: whether it is good news.
        metrics: from `adiabat.metrics`, eV and Å.
        pictures: in order.
        sections: heading to sentences, listed below the pictures.
    """
    environment = Environment(autoescape=True)
    return environment.from_string(_TEMPLATE).render(
        title=title,
        subtitle=subtitle,
        verdict=verdict,
        passed=passed,
        errors=_table(metrics),
        pictures=pictures,
        sections=[{"title": name, "lines": lines} for name, lines in sections.items()],
        version=__version__,
    )


def _table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        "energy_mae_per_atom": "energy MAE (meV/atom)",
        "energy_rmse_per_atom": "energy RMSE (meV/atom)",
        "forces_mae": "forces MAE (meV/Å)",
        "forces_rmse": "forces RMSE (meV/Å)",
        "stress_mae": "stress MAE (meV/Å³)",
    }
    used = {key: head for key, head in columns.items() if key in metrics}
    rows = {"all": metrics, **metrics.get("per_group", {}), **metrics.get("per_element", {})}
    body = [[name, *(f"{1000 * row[k]:.2f}" if k in row else "–" for k in used)] for name, row in rows.items()]
    return {"head": ["", *used.values()], "rows": body}
