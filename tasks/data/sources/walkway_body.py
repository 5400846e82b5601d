"""People as jointed bodies: how they look, how they step, and the parts to draw.

``height`` is that of the whole person in UNIT-ths of a pixel; other lengths are per mille of it.
``phase`` runs through one TURN per gait cycle, that is two steps.
"""

from dataclasses import dataclass

from tasks.data.sources.raster import ONE, TURN, Draws, Limb, Part, Point, sine, step

QUARTER = TURN // 4
LEG = 470
"""Length of a leg, thigh and shin, in per mille of the height."""


@dataclass(frozen=True, kw_only=True)
class Dress:
    """How somebody looks: gray values, and widths in per mille of the average."""

    shirt: int
    trousers: int
    skin: int
    hair: int
    shoes: int
    build: int
    coat: int
    """Length of the coat or skirt below the hip, in per mille of the height; 0 for none."""
    bag: int
    """0 for none, 1 for a shoulder bag, 2 for a backpack."""

    @classmethod
    def drawn(cls, draws: Draws, *, sporty: bool = False) -> "Dress":
        """Somebody out of the crowd; ``sporty`` without coat and bag."""
        coats, bags = ((0,), (0,)) if sporty else ((0, 0, 0, 0, 90, 140, 190), (0, 0, 0, 1, 2))
        return cls(
            shirt=draws.between(38, 226),
            trousers=draws.between(30, 150),
            skin=draws.between(110, 205),
            hair=draws.one_of((28, 36, 48, 62, 90, 150)),
            shoes=draws.one_of((26, 34, 50, 90, 205)),
            build=draws.between(880, 1190),
            coat=draws.one_of(coats),
            bag=draws.one_of(bags),
        )


@dataclass(frozen=True, kw_only=True)
class Gait:
    """How the limbs move; angles in TURN-ths, ``swing`` and ``arms`` to either side."""

    swing: int
    knee: int
    arms: int
    elbow: int
    lean: int
    flight: int
    """Height of the leap between two steps, in per mille of the height."""

    def stride(self, height: int) -> int:
        """Length of one cycle along the ground, for which the feet do not slide."""
        return (
            4 * height * LEG * sine(self.swing) // (1000 * ONE) * (1000 + 4 * self.flight) // 1000
        )


def walk(swing: int) -> Gait:
    """A walker's gait; a longer step swings and bends everything more."""
    return Gait(swing=swing, knee=110 + swing, arms=swing, elbow=40, lean=8, flight=0)


RUN = Gait(swing=104, knee=300, arms=140, elbow=250, lean=34, flight=50)


Leg = tuple[Point, Point, Point, Point]
"""Hip, knee, ankle and toe."""


@dataclass(frozen=True)
class Body:
    """A scale, a way to face and a dress: turns per mille and angles into parts."""

    height: int
    direction: int
    dress: Dress

    def span(self, mille: int) -> int:
        """A length."""
        return self.height * mille // 1000

    def wide(self, mille: int) -> int:
        """A radius, which grows with the build."""
        return self.height * mille // 1000 * self.dress.build // 1000

    def limb(self, a: Point, b: Point, radii: tuple[int, int], gray: int) -> Limb:
        """A limb with radii in per mille."""
        return Limb(a, b, self.wide(radii[0]), self.wide(radii[1]), gray)

    def go(self, start: Point, mille: int, angle: int) -> Point:
        """A point ``mille`` further on; angle 0 is down, a quarter turn is ahead."""
        return step(start, self.span(mille), angle, self.direction)

    def at(self, origin: Point, ahead: int, up: int) -> Point:
        """A point given in per mille from the ground point."""
        return origin[0] + self.direction * self.span(ahead), origin[1] - self.span(up)

    def leg(self, hip: Point, gait: Gait, phase: int) -> Leg:
        """Hip, knee, ankle and toe; the knee bends while the leg swings forward."""
        thigh = gait.swing * sine(phase) // ONE + gait.swing // 10
        forward = max(sine(phase + QUARTER + 36), 0)
        bent = 14 + gait.knee * forward // ONE * forward // ONE
        knee = self.go(hip, LEG // 2, thigh)
        ankle = self.go(knee, LEG // 2, thigh - bent)
        toe = self.go(ankle, 88, QUARTER - bent // 2 + max(thigh, 0) // 3)
        return hip, knee, ankle, toe

    def clothed_leg(self, leg: Leg, shade: int) -> list[Part]:
        """A leg in trousers and shoe, lighter by ``shade``."""
        hip, knee, ankle, toe = leg
        gray, shoes = max(self.dress.trousers + shade, 8), max(self.dress.shoes + shade, 8)
        return [
            self.limb(hip, knee, (72, 52), gray),
            self.limb(ankle, toe, (34, 24), shoes),
            self.limb(knee, ankle, (50, 34), gray),
        ]

    def torso(self, hip: Point, shoulder: Point) -> list[Part]:
        """The upper body from the side, and the coat."""
        dress = self.dress
        chest = (shoulder[0], shoulder[1] + self.span(40))
        parts: list[Part] = [self.limb(chest, hip, (86, 82), dress.shirt)]
        if dress.coat:
            hem = (hip[0], hip[1] + self.span(dress.coat))
            parts.insert(0, self.limb(hip, hem, (86, 100), dress.shirt - 6))
        return parts

    def head(self, centre: Point) -> list[Part]:
        """Neck, hair and face from the side."""
        dress = self.dress
        return [
            self.limb(self.at(centre, -16, -90), centre, (42, 40), dress.skin - 24),
            self.limb(self.at(centre, -6, 12), self.at(centre, -10, -6), (66, 64), dress.hair),
            self.limb(self.at(centre, 18, -4), self.at(centre, 20, -28), (50, 42), dress.skin),
        ]

    def arm(self, shoulder: Point, gait: Gait, swing: int, shade: int) -> list[Part]:
        """A swinging arm, lighter by ``shade``."""
        gray = max(self.dress.shirt + shade, 8)
        top = self.at(shoulder, -4, -22)
        elbow = self.go(top, 172, swing)
        hand = self.go(elbow, 150, swing + gait.elbow)
        return self.sleeve(top, elbow, hand, gray)

    def sleeve(self, top: Point, elbow: Point, hand: Point, gray: int) -> list[Part]:
        """An arm and its hand."""
        return [
            self.limb(top, elbow, (44, 38), gray),
            self.limb(elbow, hand, (38, 28), gray),
            self.limb(hand, hand, (30, 30), self.dress.skin),
        ]
