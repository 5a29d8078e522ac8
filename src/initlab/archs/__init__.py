"""The architectures: plain nn.Modules that take an activation and know nothing of schemes, stacks or training.

    net = ARCHS.build({"name": "mlp", "depth": 2, "width": 32, ...}, (64,), 10, nn.ReLU)
    net(x)                                                       # [B, 64] -> [B, 10]
    net.roles["fc3"]                                             # Role("readout")

An architecture is a function of (shape of one input, number of outputs, factory of the activation). Its net declares
what its layers are: the attribute `roles`, see `initlab.roles`.
"""

import initlab.archs.attention
import initlab.archs.plain
import initlab.archs.recurrent
import initlab.archs.residual  # noqa: F401  (the functions join ARCHS)
