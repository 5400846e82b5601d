"""A report of drift, made by hand."""

from tasks.serving.monitoring.drift import DriftReport, Shown
from tasks.serving.monitoring.served_statistics import Point


def shown(frames, **changes):
    """Frames of which a tenth raised an alarm."""
    values = {
        "frames": frames,
        "clips": 10.0,
        "alarms": frames // 10,
        "alarm_rate": 0.1,
        "alarm_rate_low": 0.01,
        "alarm_rate_high": 0.4,
        "distance": 3.0,
        "uniformity": 0.2,
        "uniformity_p_value": 0.7,
        "p_values": (frames // 20,) * 20,
        "scores": (frames // 20,) * 20,
    }
    return Shown(**{**values, **changes})


def report(**changes):
    """Version 1 of ``squares`` has drifted, unless something else is said."""
    values = {
        "model": "squares",
        "version": 1,
        "verdict": "drift",
        "why": "The Fréchet distance 3 is above the 2 that normal clips may reach.",
        "since": "2026-01-02T03:04:05+00:00",
        "updated": "2026-01-02T04:04:05+00:00",
        "recent": shown(100),
        "overall": shown(1000, distance=1.0),
        "limit": 2.0,
        "typical": 0.5,
        "wanted": 32,
        "promised_alarm_rate": 0.05,
        "score_edges": tuple(place / 18 for place in range(19)),
        "timeline": (Point("2026-01-02T03:34:05+00:00", 500, 0.6, 0.05),),
    }
    return DriftReport(**{**values, **changes})
