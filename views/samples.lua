-- Samples: what the compressed network decides differently from its original, after a run that saved it.

local view = { title = "Samples", tab = "Samples", order = 40, column = "left", priority = 9, weight = 2, min_width = 38,
  min_height = 7,
  help = "Samples of the test part on which the compressed network decides differently. f: newly wrong, newly right or "
    .. "all; s sorts; c compares again. Text: p continues a prompt of yours, d draws tokens with a seed." }

local columns = {
  classes = {
    { field = "number", title = "sample", as = "count", width = 6 },
    { field = "label_name", title = "is", width = 4, grow = 1 },
    { field = "before_name", title = "said", width = 4, grow = 1 },
    { field = "after_name", title = "now", width = 4, grow = 1 },
    { field = "own_before", title = "p", as = "percent", width = 7, drop = 2 },
    { field = "own_after", title = "p now", as = "percent", width = 7, drop = 1 },
    { field = "kl", title = "KL", width = 7 },
    { field = "what", title = "", width = 11, drop = 3 },
  },
  text = {
    { field = "label_name", title = "prompt", width = 16, grow = 2 },
    { field = "same", title = "same", as = "count", width = 5 },
    { field = "kl", title = "KL", width = 7 },
    { field = "what", title = "", width = 8, drop = 1 },
  },
  values = {
    { field = "number", title = "sample", as = "count", width = 6 },
    { field = "own_before", title = "error", width = 9 },
    { field = "own_after", title = "error now", width = 9 },
    { field = "change", title = "apart", width = 8 },
  },
}

function view.draw()
  local which, counts, title = ui.samples("which"), ui.samples("counts"), ui.samples("title")
  local kind, _, height = ui.samples("kind"), ui.size()
  ui.note(ui.samples("state") ~= "" and ui.samples("state")
          or which ~= "" and which .. " by " .. ui.samples("sort") or ui.samples("run"))
  if title ~= "" and height >= 6 then
    ui.text{ text = ui.samples("run") .. ": " .. title, style = "dim" }
    ui.text{ text = counts, style = "strong" }
  end
  ui.table{ source = "samples", columns = columns[kind] or columns.classes, empty = ui.samples("advice") }
end

return view
