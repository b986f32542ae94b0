r"""The page docs/api/methods.md: the update rule of every built-in strategy as a formula.

The docstrings of the strategies have the same rules in plain text, with what the symbols mean.
"""

from __future__ import annotations

from pathlib import Path

from afl_sim.strategies import strategies

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api" / "methods.md"
HEAD = r"""# Update rules

The update rule of every built-in strategy as a formula, followed by its docstring. The settings
of each, and what it does in a line, are in [Strategies](../strategies.md). This page is generated
by `python docs/generate.py`.

Throughout, $w$ is the global model, $w_i$ the model that client $i$ sends, $w_{\text{base}}$ the
model that the client downloaded, $\Delta_i = w_i - w_{\text{base}}$ its delta, $g$ a gradient at
$w_{\text{base}}$, $n_i$ the number of the client's samples, $n$ their sum, $N$ the number of
clients, $\tau$ the [staleness](../staleness.md), and $\eta$ or $\gamma$ a step size. An arrow
means that the left side gets the value of the right side. Where a method has its own symbols, its
docstring explains them.
"""
FORMULAS = {
    "asofed": r"""
\zeta = g - v + h, \quad h \leftarrow \beta h + (1 - \beta) v, \quad v \leftarrow g, \quad
w \leftarrow w - \frac{n_k}{n}\, \max(1, \log d_k)\, \zeta""",
    "async_weighted": r"""
w \leftarrow w + \eta_g\, d_i\, \Delta_i, \qquad
d_i = p_i\, \tau_i \sum_j \frac{1}{\tau_j} \ \text{(unbiased)} \quad \text{or} \quad d_i = 1""",
    "asyncsgd": r"""
w \leftarrow w - \gamma\, g_i(w_{\text{base}})""",
    "ca2fl": r"""
v = h + \frac{1}{M} \sum_i (\Delta_i - h_i), \qquad w \leftarrow w + \eta\, v, \qquad
h_i \leftarrow \Delta_i""",
    "delay_adaptive": r"""
w \leftarrow w - \gamma_k\, g, \qquad
\gamma_k = \frac{\gamma\, n}{\max(n, \tau)} \ \text{(proportional)} \quad \text{or} \quad
\gamma_k = \begin{cases} \gamma & \tau \le \tau_C \\
\min\left(\gamma, \frac{1}{4 L \tau}\right) & \tau > \tau_C \end{cases} \ \text{(threshold)}""",
    "fadas": r"""
m \leftarrow \beta_1 m + (1 - \beta_1)\, \bar\Delta, \quad
v \leftarrow \beta_2 v + (1 - \beta_2)\, \bar\Delta^2, \quad
\hat v \leftarrow \max(\hat v, v), \quad
w \leftarrow w + \eta_t \frac{m}{\sqrt{\hat v} + \epsilon}""",
    "favas": r"""
u_i = w_{\text{init},i} + \frac{w_i - w_{\text{init},i}}{\alpha_i}, \qquad
w \leftarrow \frac{1}{s + 1} \left( w + \sum_i u_i \right)""",
    "fedasync": r"""
w \leftarrow (1 - \alpha_t)\, w + \alpha_t\, w_i, \qquad \alpha_t = \alpha\, s(\tau)""",
    "fedat": r"""
w = \sum_{m=1}^{M} \frac{T_{M + 1 - m}}{T}\, w_m""",
    "fedavg": r"""
w \leftarrow \sum_k \frac{n_k}{\sum_j n_j}\, w_k""",
    "fedbuff": r"""
w \leftarrow w + \eta_g \frac{1}{K} \sum_{i=1}^{K} s(\tau_i)\, \Delta_i, \qquad
s(\tau) = (1 + \tau)^{-1/2}""",
    "feddyn": r"""
\lambda_k \leftarrow \lambda_k - \alpha\, (w_k - w_{\text{base}}), \qquad
h \leftarrow h - \frac{\alpha}{N} \sum_k (w_k - w), \qquad
w \leftarrow \operatorname{mean}(w_k) - \frac{h}{\alpha}""",
    "fedfix": r"""
w \leftarrow w + \eta_g \sum_i d_i\, \Delta_i, \qquad
d_i = \left\lceil \frac{\tau_i}{\text{interval}} \right\rceil p_i""",
    "fedprox": r"""
\min_{w_k}\ f_k(w_k) + \frac{\mu}{2} \lVert w_k - w_{\text{base}} \rVert^2, \qquad
w \leftarrow \sum_k \frac{n_k}{\sum_j n_j}\, w_k""",
    "flanp": r"""
w_i \leftarrow w_i - \eta\, (g - \delta_i), \quad
\Delta_i = \frac{w - w_i}{\eta}, \quad
\delta_i \leftarrow \delta_i + \frac{\Delta_i - \bar\Delta}{K}, \quad
w \leftarrow w - \eta\, \gamma\, \bar\Delta""",
    "generalized_asyncsgd": r"""
w \leftarrow w - \frac{\eta}{n\, p_i}\, g_i(w_{\text{base}}) \quad (n \text{ clients})""",
    "ia2sgd": r"""
g_i \leftarrow g, \qquad w \leftarrow w - \frac{\gamma}{n} \sum_{i=1}^{n} g_i
\quad (n \text{ clients})""",
    "malenia": r"""
w \leftarrow w - \frac{\gamma}{n} \sum_{i=1}^{n} \bar g_i \quad \text{once} \quad
\left( \frac{1}{n} \sum_{i=1}^{n} \frac{1}{B_i} \right)^{-1} \ge \frac{S}{n}
\quad (n \text{ clients})""",
    "mifa": r"""
G_i \leftarrow \frac{w - w_i}{\eta} \ \text{(active clients)}, \qquad
w \leftarrow w - \frac{\eta}{N} \sum_{i=1}^{N} G_i""",
    "port": r"""
w \leftarrow w + \sum_i p_i\, \Delta_i, \qquad
p_i \propto n_i \left( a\, \frac{S}{S + \tau_i} + b\, \frac{\cos_i + 1}{2} \right), \qquad
\sum_i p_i = 1""",
    "quafl": r"""
w \leftarrow \frac{w}{s + 1} + \frac{s}{s + 1} \operatorname{mean}(w_i), \qquad
w_i \leftarrow \frac{w_{\text{old}}}{s + 1} + \frac{s}{s + 1}\, w_i""",
    "rennala": r"""
w \leftarrow w - \frac{\gamma}{B} \sum_{b=1}^{B} g_b(w)""",
    "ringleader": r"""
w \leftarrow w - \frac{\gamma}{n} \sum_{i=1}^{n} \bar g_i \quad (n \text{ clients})""",
    "ringmaster": r"""
w \leftarrow w - \gamma\, g \quad \text{if } \tau \le R - 1""",
    "safa": r"""
c_k \leftarrow w_k \ \text{(picked)}, \quad c_k \leftarrow W \ \text{(deprecated)}, \quad
W \leftarrow \sum_k \frac{n_k}{n}\, c_k, \quad c_k \leftarrow w_k \ \text{(undrafted)}""",
    "scaffold": r"""
y \leftarrow y - \eta_l\, (g - c_i + c), \quad
c_i^+ = c_i - c + \frac{x - y}{K \eta_l}, \quad
x \leftarrow x + \eta_g \operatorname{mean}(y_i - x), \quad
c \leftarrow c + \frac{1}{N} \sum_i (c_i^+ - c_i)""",
    "tifl": r"""
w \leftarrow \sum_k \frac{n_k}{\sum_j n_j}\, w_k \quad \text{over clients of one tier}""",
}


def page() -> str:
    """The whole page.

    Raises:
        KeyError: a built-in strategy has no formula here.
    """
    built_in = {
        name: kind
        for name, kind in sorted(strategies().items())
        if kind.__module__.startswith("afl_sim.")
    }
    return "\n".join([HEAD, *(section(name, kind) for name, kind in built_in.items())])


def section(name: str, kind: type) -> str:
    """A strategy: its formula, and the entry from its docstring."""
    source = Path(kind.__module__.replace(".", "/")).with_suffix(".py")
    return f"""## {name}

Settings: [`{name}`](../strategies.md#{name}). Source: [{source.name}](../../{source}).

$$
{FORMULAS[name].strip()}
$$

<!-- ::: {kind.__module__}.{kind.__name__}
    options:
      members: false
      show_root_heading: false
      show_root_toc_entry: false
      show_bases: false
-->
"""
