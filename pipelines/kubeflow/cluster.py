"""What a cluster needs to know of the components: image, resources, accelerators, volumes."""

import dataclasses
import re

from keras_cl.errors import require
from pipelines.settings import title

TRAIN = ("trainer", "tuner")  # components that an accelerator makes faster


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The settings of a cluster; every field is a flag of `pipelines.compile`.

    Args:
      out: file to write the definition to, .yaml.
      image: container image of all components; by default keras-cl-pipeline with a digest of this code.
      cpu_limit: processors of each component, such as 4 or 500m.
      memory_limit: main memory of each component, such as 8G.
      gpus: accelerators of the Trainer and the Tuner; 0 for none.
      gpu_type: name of the accelerator: nvidia.com/gpu on Kubernetes, NVIDIA_TESLA_T4 and the like on Vertex.
      volumes: volumes to mount in every component, as claim:/path, with the name of a persistent volume
        claim.
    """

    out: str = "pipeline.yaml"
    image: str = ""
    cpu_limit: str = "4"
    memory_limit: str = "8G"
    gpus: int = 1
    gpu_type: str = "nvidia.com/gpu"
    volumes: tuple[str, ...] = ()

    def __post_init__(self):
        require(
            self.out.endswith(".yaml"),
            f"--out is {self.out}; give a file whose name ends with .yaml.",
        )
        require(self.gpus >= 0, f"--gpus is {self.gpus}; it must not be negative.")
        require(not self.gpus or self.gpu_type, "--gpu_type is empty; give one, or --gpus=0.")
        for name, form, such in (
            ("cpu_limit", r"\d+(\.\d+)?m?", "4 or 500m"),
            ("memory_limit", r"\d+(\.\d+)?([EPTGMK]i?)?", "8G or 512Mi"),
        ):
            given = getattr(self, name)
            require(re.fullmatch(form, given), f"--{name} is {given!r}; give something like {such}.")
        for volume in self.volumes:
            require(
                re.fullmatch(r"[a-z0-9][a-z0-9.-]*:/.*[^/]", volume),
                f"--volumes is {volume!r}; give a persistent volume claim and a path: claim:/path.",
            )

    @property
    def mounts(self):
        """`{path: claim}` of the volumes."""
        return {path: claim for claim, _, path in (volume.partition(":") for volume in self.volumes)}

    def require_seen(self, flag, path):
        """Raises `InputError` unless the containers of components see a path."""
        seen = path.startswith("/gcs/") or any(f"{path}/".startswith(f"{mount}/") for mount in self.mounts)
        require(
            seen,
            f"--{flag} is {path}, and no container sees it; give a path below a volume, such as "
            f"--volumes=claim:/models and /models/served, or on Vertex one below /gcs/.",
        )

    def place(self, step, component, number, image):
        """Says of a kfp task, of a component and the task of a number, what a cluster needs to know."""
        step.set_display_name(f"{title(component)} of task {number}")
        step.set_container_image(image)
        step.set_cpu_limit(self.cpu_limit)
        step.set_memory_limit(self.memory_limit)
        if component in TRAIN and self.gpus:
            step.set_accelerator_type(self.gpu_type)
            step.set_accelerator_limit(self.gpus)
        if component == "pusher":  # whether a model is still served is not known to a cluster's cache
            step.set_caching_options(False)
        if self.mounts:  # as kfp-kubernetes says it
            mounts = [{"constant": claim, "mountPath": path} for path, claim in self.mounts.items()]
            step.platform_config = {"kubernetes": {"pvcMount": mounts}}
