-- Which layers hurt: every layer alone at every width, measured on the selection part. Kept in the history, so that any
-- budget is then solved without touching the network again; `vise report sensitivity-table` draws it.
-- ResNet-20, 20 layers x 7 widths on 400 images: a minute on two busy cores the first time, a moment after.
recipe{
  name   = "sensitivity-table",
  about  = "every layer alone at every width: divergence, bytes and time",
  source = "one-on sensitivity, as in HAQ (arXiv 1811.08886) and ZeroQ (arXiv 2001.00281)",
}
local least   = param("least", 2, {1, 8}, "narrowest width")
local most    = param("most", 8, {1, 8}, "widest width")
local look    = param("look", 400, {1, 100000}, "selection samples that each cell is measured on")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local options = {}
for b = least, math.max(least, most) do options[b .. " bit"] = quantize{ bits = b } end
local t = sensitivity(net, { options = options, measure = data.select:first(math.min(look, #data.select)) })
report(t)
report(sensitivity(net, { options = options, metric = "time" }))

-- What each budget buys, from the table alone.
log("bits a weight   predicted divergence")
for bits = least + 0.5, most, 0.5 do
  local ok, c = pcall(allocate, t, { budget = { bits = bits } })
  if ok then log(string.format("%13.2f   %.3g", c.bits, c.predicted)) end
end
