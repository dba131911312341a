"""How a training ends without a model."""


class Diverged(Exception):
    """Training met a loss that is not finite. In this field that is a result: it is recorded and shown."""

    def __init__(self, images_seen: int, loss: float):
        self.images_seen, self.loss = images_seen, loss
        super().__init__(f"diverged after {images_seen} images: the loss is {loss}")


class Interrupted(Exception):
    """Training was asked to stop and did; its state is in the checkpoint, if it was given one."""

    def __init__(self, images_seen: int):
        self.images_seen = images_seen
        super().__init__(f"interrupted after {images_seen} images")
