"""Who is on the walkway: walkers, runners, cyclists and carts as parts to draw.

A figure stands with its ground point at ``origin``, and its lengths follow from the body's height.
``phase`` runs through one TURN per gait cycle, or per turn of the wheels.
"""

from math import isqrt

from tasks.data.sources.raster import ONE, TURN, Limb, Part, Point, Polygon, Ring, sine
from tasks.data.sources.walkway_body import Body, Gait, Leg


def person(origin: Point, body: Body, gait: Gait, phase: int) -> list[Part]:
    """Somebody seen from the side who walks or runs."""
    near, far = body.leg((0, 0), gait, phase), body.leg((0, 0), gait, phase + TURN // 2)
    lowest = max(joint[1] for leg in (near, far) for joint in leg)
    leap = body.span(gait.flight) * abs(sine(phase + 96)) // ONE
    lift = origin[1] - lowest - leap - body.span(14)
    near, far = (_moved(leg, origin[0], lift) for leg in (near, far))
    hip, dress = near[0], body.dress
    shoulder = body.go(hip, 300, TURN // 2 - gait.lean)
    swung = gait.arms * sine(phase) // ONE
    parts: list[Part] = [
        *body.arm(shoulder, gait, swung, -26),
        *body.clothed_leg(far, -22),
        *body.clothed_leg(near, 0),
        *body.torso(hip, shoulder),
        *body.head(body.go(shoulder, 132, TURN // 2 - gait.lean // 2)),
    ]
    if dress.bag == 2:
        back = body.at(shoulder, -88, -60)
        parts.insert(4, body.limb(back, body.at(shoulder, -98, -190), (52, 58), dress.hair + 24))
    parts += body.arm(shoulder, gait, -swung, -8)
    if dress.bag == 1:
        strap = body.at(shoulder, 10, -300)
        parts.append(body.limb(strap, body.at(shoulder, 10, -360), (44, 50), dress.hair + 12))
    return parts


def person_front(origin: Point, body: Body, phase: int, *, facing: bool) -> list[Part]:
    """Somebody who walks towards the camera (``facing``) or away from it."""
    dress, swing = body.dress, sine(phase) * (1 if facing else -1)
    bob = body.span(12) * abs(sine(phase)) // ONE
    hip, shoulder = body.at((origin[0], origin[1] - bob), 0, 500), body.at(origin, 0, 790)
    parts = _front_legs(origin, hip, body, swing, body.span(16 if facing else 4))
    if dress.coat:
        hem = (hip[0], hip[1] + body.span(dress.coat))
        parts.append(body.limb(hip, hem, (104, 118), dress.shirt - 6))
    chest, head = (shoulder[0], shoulder[1] + body.span(50)), body.at(shoulder, 0, 122)
    parts += [
        body.limb(chest, hip, (112, 98), dress.shirt),
        *_front_arms(shoulder, body, swing),
        body.limb(body.at(shoulder, 0, 20), head, (40, 40), dress.skin - 20),
        body.limb(body.at(head, 0, 14), body.at(head, 0, -14), (68, 62), dress.hair),
    ]
    if facing:
        parts.append(body.limb(body.at(head, 0, -6), body.at(head, 0, -30), (54, 46), dress.skin))
    return parts


def cyclist(origin: Point, body: Body, phase: int, paint: int) -> list[Part]:
    """Somebody on a bicycle; ``phase`` turns the wheels, and the pedals at a third of it."""
    rear, front = body.at(origin, -310, 205), body.at(origin, 330, 205)
    crank, saddle = body.at(origin, -30, 190), body.at(origin, -130, 560)
    bars, neck = body.at(origin, 215, 640), body.at(origin, 215, 520)
    hip, shoulder = body.at(origin, -135, 605), body.at(origin, 65, 850)
    pedals = [body.go(crank, 95, -phase // 3 + half) for half in (0, TURN // 2)]
    near, far = ((hip, _joint(hip, pedal, body, 275), pedal) for pedal in pedals)
    tubes = ((rear, crank), (rear, saddle), (saddle, crank), (saddle, neck), (crank, neck))
    parts: list[Part] = [*body.clothed_leg((*far, body.at(far[2], 70, 0)), -24)]
    for axle in (rear, front):
        parts += [
            Ring(axle, body.span(195), body.span(34), 30),
            Ring(axle, body.span(168), body.span(16), 150),
        ]
        for spoke in range(0, TURN // 2, TURN // 8):
            ends = [body.go(axle, 160, spoke - phase + half) for half in (0, TURN // 2)]
            parts.append(Limb(ends[0], ends[1], body.span(5), body.span(5), 120, 0))
    parts += [Limb(a, b, body.span(15), body.span(15), paint) for a, b in tubes]
    parts += [
        Limb(front, bars, body.span(15), body.span(15), paint),
        Limb(body.at(saddle, -50, 8), body.at(saddle, 45, 8), body.span(22), body.span(16), 34),
        *body.clothed_leg((*near, body.at(near[2], 70, 0)), 0),
        *body.torso(hip, shoulder),
        *body.head(body.at(shoulder, 70, 128)),
        *_reach(shoulder, bars, body),
    ]
    return parts


def cart(origin: Point, body: Body, phase: int, paint: int) -> list[Part]:
    """A small open motor cart with a roof, a load and a driver."""
    parts: list[Part] = []
    wheels = [body.at(origin, x, 150) for x in (-520, 500)]
    for x in (-760, 640):
        foot = body.at(origin, x + (0 if x < 0 else 60), 430)
        parts.append(Limb(foot, body.at(origin, x, 1120), body.span(17), body.span(17), 60))
    seat = body.at(origin, -80, 470)
    shoulder, wheel = body.at(origin, -110, 800), body.at(origin, 240, 640)
    knee = body.at(origin, 190, 470)
    parts += [
        *body.torso(seat, shoulder),
        *body.head(body.at(shoulder, 20, 130)),
        body.limb(seat, knee, (66, 50), body.dress.trousers),
        body.limb(knee, body.at(origin, 230, 250), (48, 38), body.dress.trousers),
        Limb(wheel, body.at(origin, 380, 480), body.span(14), body.span(14), 40),
        *_reach(shoulder, wheel, body),
        _box(origin, body, ((-200, 700), (-140, 700), (-140, 300), (-230, 300)), 52),
        _box(origin, body, ((-860, 640), (-300, 640), (-300, 300), (-860, 300)), paint - 26),
        _box(origin, body, ((-890, 420), (330, 420), (330, 180), (-860, 180)), paint),
        _box(origin, body, ((360, 620), (600, 560), (800, 400), (360, 380)), paint + 10),
        _box(origin, body, ((320, 430), (810, 410), (810, 190), (320, 180)), paint - 4),
        _box(origin, body, ((-840, 1160), (640, 1160), (690, 1105), (-850, 1105)), paint + 18),
        _box(origin, body, ((745, 380), (800, 380), (805, 320), (745, 320)), 240),
    ]
    for axle in wheels:
        parts += [
            Limb(axle, axle, body.span(150), body.span(150), 34, 8),
            Limb(axle, axle, body.span(78), body.span(78), 150, 20),
            Limb(axle, body.go(axle, 62, -phase), body.span(18), body.span(18), 70, 0),
        ]
    return parts


def _front_legs(origin: Point, hip: Point, body: Body, swing: int, drop: int) -> list[Part]:
    """Legs side by side; the one that swings back looks shorter and darker."""
    parts: list[Part] = []
    for side in (-1, 1):
        raised = body.span(34) * (side * swing) // ONE
        foot = (origin[0] + side * body.span(60), origin[1] - body.span(30) + raised)
        knee = (origin[0] + side * body.span(64), (hip[1] + foot[1]) // 2 - body.span(6))
        top = (hip[0] + side * body.span(48), hip[1])
        gray = body.dress.trousers + (0 if side * swing > 0 else -14)
        parts += [
            body.limb(
                foot, (foot[0] + side * body.span(8), foot[1] + drop), (30, 34), body.dress.shoes
            ),
            body.limb(top, knee, (66, 50), gray),
            body.limb(knee, foot, (50, 34), gray),
        ]
    return parts


def _front_arms(shoulder: Point, body: Body, swing: int) -> list[Part]:
    """Arms at both sides, against the legs."""
    parts: list[Part] = []
    for side in (-1, 1):
        top = (shoulder[0] + side * body.span(118), shoulder[1] + body.span(20))
        elbow = (top[0] + side * body.span(28), top[1] + body.span(160))
        reach = body.span(140) + body.span(22) * (-side * swing) // ONE
        hand = (elbow[0] - side * body.span(8), elbow[1] + reach)
        parts += [
            body.limb(top, elbow, (46, 40), body.dress.shirt - 16),
            body.limb(elbow, hand, (40, 30), body.dress.shirt - 16),
            body.limb(hand, hand, (32, 32), body.dress.skin),
        ]
    return parts


def _moved(leg: Leg, dx: int, dy: int) -> Leg:
    hip, knee, ankle, toe = ((x + dx, y + dy) for x, y in leg)
    return hip, knee, ankle, toe


def _reach(shoulder: Point, hand: Point, body: Body) -> list[Part]:
    """An arm that holds something in front."""
    elbow = body.at(((shoulder[0] + hand[0]) // 2, (shoulder[1] + hand[1]) // 2), -10, -56)
    return body.sleeve(shoulder, elbow, hand, max(body.dress.shirt - 12, 8))


def _joint(a: Point, b: Point, body: Body, mille: int) -> Point:
    """The knee between hip ``a`` and pedal ``b``, ahead of the line between them."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    square = max(dx * dx + dy * dy, 1)
    height = isqrt(max(body.span(mille) ** 2 - square // 4, 0))
    length = max(isqrt(square), 1)
    side = body.direction
    return (a[0] + b[0]) // 2 + side * dy * height // length, (
        (a[1] + b[1]) // 2 - side * dx * height // length
    )


def _box(origin: Point, body: Body, corners: tuple[tuple[int, int], ...], gray: int) -> Polygon:
    points = [body.at(origin, x, up) for x, up in corners]
    return Polygon(tuple(points if body.direction > 0 else points[::-1]), gray)
