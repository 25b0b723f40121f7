-- Sample: the one under the cursor of the list, with what both networks say about it.

local view = { title = "Sample", tab = "Samples", order = 41, column = "right", priority = 8, weight = 3, min_width = 38,
  min_height = 8,
  help = "The sample under the cursor of the list: the label has a mark, * is what a network says. Of a text: as both "
    .. "continue it, marked where they part, with the likeliest tokens there." }

function view.draw()
  ui.note(ui.samples("run"))
  ui.sample()
end

return view
