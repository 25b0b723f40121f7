-- The recipe that the tests of the screen show; its work is told by tests/support/fake_run.c.
recipe{
  name   = "story",
  about  = "every weight rounded to a few bits, in groups that share a scale",
  source = "round to nearest",
}
local bits  = param("bits", 4, {1, 8}, "width of a weight")
local group = param("group", 64, {0, 256}, "weights that share a scale; 0: the whole row")

local net = model(arg.model or "nowhere.safetensors")
compress(net, { rule(".*", quantize{ bits = bits, group = group }) })
