"""Where each tensor of a published checkpoint goes: tables of (published name, our path, layout).

The layouts are those of ``torch_import.LAYOUTS``; every tensor has one row.
"""


def _affine(name, place, layout):
    """Rows of a layer with weight and bias."""
    return [(f"{name}.weight", f"{place}/kernel", layout), (f"{name}.bias", f"{place}/bias", "vector")]


def _norm(name, place):
    return [(f"{name}.weight", f"{place}/scale", "vector"), (f"{name}.bias", f"{place}/bias", "vector")]


def _batch_norm(name, place):
    measured = {"running_mean": "mean", "running_var": "variance"}
    return _norm(name, place) + [(f"{name}.{theirs}", f"{place}/{ours}", "vector") for theirs, ours in measured.items()]


def nafnet_table(config):
    table = _affine("in_layer", "in_conv", "conv") + _affine("out_layer", "out_conv", "conv")
    for level in range(config.levels):
        table += _affine(f"down_layers.{level}", f"down{level}", "conv")
        table += [(f"up_layers.{level}.0.weight", f"up{level}/expand/kernel", "conv")]
        for block in range(config.encoder_blocks[level]):
            table += _nafnet_block(f"encoder_blocks.{level}.{block}", f"encoder{level}_block{block}")
        for block in range(config.decoder_blocks[level]):
            table += _nafnet_block(f"decoder_blocks.{level}.{block}", f"decoder{level}_block{block}")
    for block in range(config.middle_blocks):
        table += _nafnet_block(f"middle_blocks.{block}", f"middle_block{block}")
    return table


def _nafnet_block(name, place):
    layers = {"conv1": "expand1", "sca.1": "attention", "conv3": "project1", "conv4": "expand2", "conv5": "project2"}
    table = [row for theirs, ours in layers.items() for row in _affine(f"{name}.{theirs}", f"{place}/{ours}", "conv")]
    table += _affine(f"{name}.conv2", f"{place}/depthwise", "depthwise")
    table += _norm(f"{name}.norm1", f"{place}/norm1") + _norm(f"{name}.norm2", f"{place}/norm2")
    return table + [(f"{name}.{scale}", f"{place}/{scale}", "vector") for scale in ("beta", "gamma")]


def _convs(name, place, layers):
    """Rows of the numbered convolutions of a sequence: ``layers`` from number to our name."""
    return [row for i, ours in layers.items() for row in _affine(f"{name}.{i}", f"{place}/{ours}", "conv")]


def _mbconv(name, place):
    branches = {"_branch1.1": "near", "_branch2.1": "dilated", "_branch3.1": "wide"}
    table = [row for b, ours in branches.items() for row in _affine(f"{name}.{b}", f"{place}/{ours}", "depthwise")]
    return table + _affine(f"{name}._fuse", f"{place}/mix", "conv")


def _attention(name, place):
    convs = {"_conv1": "reduce", "_conv_h": "rows", "_conv_w": "columns"}
    table = [(f"{name}.{theirs}.weight", f"{place}/{ours}/kernel", "conv") for theirs, ours in convs.items()]
    return table + _norm(f"{name}._n1", f"{place}/norm")


def _stem(name, place):
    table = _affine(f"{name}.0", f"{place}/stem/conv", "conv") + _norm(f"{name}.1", f"{place}/stem/norm")
    table += _mbconv(f"{name}.3", f"{place}/stem/mbconv")
    return table + _attention(f"{name}.4", f"{place}/stem/attention")


def photofinish_table(config):
    table = []
    for stage in ("gain", "gamma"):
        name = f"_{stage}_net._{stage}_net._net"
        table += _stem(name, stage) + _convs(name, stage, {5: "conv1", 8: "conv2"})
        table += _affine(f"{name}.12", f"{stage}/head", "linear")

    name = "_gtm_net._gtm_net"
    table += _stem(name, "gtm") + _convs(name, "gtm", {5: "conv1", 7: "conv2", 10: "conv3", 13: "conv4"})
    table += _affine(f"{name}.17", "gtm/head", "linear")

    for scale in ("low", "mid", "high"):
        name, place = f"_ltm_net._guide_conv._guide_conv_{scale}", f"ltm/guide/{scale}"
        table += _stem(name, place) + _convs(name, place, {5: "conv1", 7: "conv2", 9: "conv3", 11: "mix"})
    table += _convs("_ltm_net._guide_conv._fusion", "ltm/guide", {0: "fuse", 2: "head"})

    name, place = "_ltm_net._grid_net", "ltm/grid"
    table += _stem(name, place) + _convs(name, place, {5: "conv1", 7: "conv2", 11: "conv3", 14: "head"})
    table += _norm(f"{name}.8", f"{place}/norm2") + _norm(f"{name}.12", f"{place}/norm3")

    table += _chroma_table()
    if config.rgb_lut:
        table += [("_3d_lut._lut", "rgb_lut/table", "rgb_lut")]
    return table


def _chroma_table():
    table = [("_lut_net._base_lut", "chroma/base_lut_crcb", "chroma_lut")]
    table += _convs("_lut_net._hist_net", "chroma", {0: "hist_conv1", 3: "hist_conv2", 5: "hist_mix"})
    table += _norm("_lut_net._hist_net.1", "chroma/hist_norm")
    for half, place in (("enc", "chroma/encoder"), ("dec", "chroma/decoder")):
        name = f"_lut_net._{half}"
        table += _affine(f"{name}1.0", f"{place}/conv1", "conv") + _norm(f"{name}1.1", f"{place}/norm")
        table += _affine(f"{name}2.0", f"{place}/conv2", "conv") + _mbconv(f"{name}2.2", f"{place}/mbconv")
        table += _affine(f"{name}3.0", f"{place}/conv3", "conv")
    table += _attention("_lut_net._coord_attn", "chroma/attention")
    table += _convs("_lut_net._out", "chroma", {0: "head"})

    name, place = "_lut_net._y_net", "chroma/luminance"
    table += _convs(name, place, {0: "conv1", 6: "conv2"}) + _norm(f"{name}.1", f"{place}/norm")
    table += _attention(f"{name}.3", f"{place}/attention") + _mbconv(f"{name}.4", f"{place}/mbconv")
    return table + _affine(f"{name}.10", f"{place}/head", "linear")


def _cross_camera_table():
    table = _u_net_stage("_bottleneck", "bottleneck")
    for level in range(4):
        table += _u_net_stage(f"_encoder._blocks.{level}", f"encoder{level}")
        for decoder in ("bias", "filter"):
            table += _u_net_stage(f"_{decoder}_decoder._blocks.{level}", f"{decoder}/stage{level}")
    for level in (0, 2):
        table += _batch_norm(f"_encoder._blocks.{level}._conv2._norm_layer", f"encoder{level}/norm")
    for decoder in ("bias", "filter"):
        table += _affine(f"_{decoder}_decoder._final_conv._conv", f"{decoder}/head", "conv")
    return table


def _u_net_stage(name, place):
    return [row for conv in ("conv1", "conv2") for row in _affine(f"{name}._{conv}._conv", f"{place}/{conv}", "conv")]


def _camera_specific_table():
    table = [row for i in (1, 2, 3) for row in _affine(f"_hist_net._conv{i}", f"conv{i}", "conv")]
    layers = {"_hist_net._fc": "seen", "_feature_to_latent": "capture"}
    return table + _linears(layers | {"_fc1": "linear1", "_fc2": "linear2", "_fc3": "linear3", "_fc4": "head"})


def _preference_table():
    return _linears({"_fc1": "linear1", "_fc2": "linear2", "_fc3": "linear3", "_fc4": "head"})


def _linears(layers):
    """Rows of linear layers, theirs to ours, and of the one batch norm among them."""
    table = [row for theirs, ours in layers.items() for row in _affine(theirs, ours, "linear")]
    return table + _batch_norm("_bn1", "norm")


def _raw_adapter_table():
    encoder = {"conv1.1": "conv1", "conv2.1": "conv2", "conv3.0": "conv3"}
    decoder = {
        "conv.0": "conv4",
        "up1.2": "conv5",
        "up2.2": "conv6",
        "gamma_output.1": "gamma_head",
        "lut_net.0": "lut",
    }
    named = [("_encoder", encoder), ("_decoder", decoder)]
    table = [r for net, layers in named for a, b in layers.items() for r in _affine(f"{net}._{a}", f"{b}/conv", "conv")]
    for theirs, ours in {"_encoder._conv1.3": "conv1", "_encoder._conv2.3": "conv2"}.items():
        table.append((f"{theirs}._conv.weight", f"{ours}/attention/taps", "vector"))
    for theirs, ours in {"_decoder._conv.2": "conv4", "_decoder._up1.4": "conv5"}.items():
        table.append((f"{theirs}._conv.weight", f"{ours}/attention/taps", "vector"))
    return (
        table + _batch_norm("_decoder._lut_net.1", "lut/norm") + _affine("_decoder._lut_head.1", "lut_head", "linear")
    )


def _cie_xyz_table():
    local, whole = "srgb2xyz_local_net.net", "srgb2xyz_globa_net.net"
    table = [row for i in range(8) for row in _affine(f"{local}.conv{i}", f"local/conv{i}", "conv")]
    table += [row for i in range(4) for row in _affine(f"{whole}.conv{i}", f"global/conv{i}", "conv")]
    for theirs, ours in {"fc1": "linear1", "fc2": "linear2", "fc3": "linear3", "out": "head"}.items():
        table += _affine(f"{whole}.{theirs}", f"global/{ours}", "linear")
    return table


IO_TABLES = {"raw_adapter": _raw_adapter_table, "cie_xyz": _cie_xyz_table}

AWB_TABLES = {
    "cross_camera": _cross_camera_table,
    "camera_specific": _camera_specific_table,
    "preference": _preference_table,
}
