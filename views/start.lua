-- Start: models, datasets, runs and recipes, those used lately first. Enter opens the one under the cursor.

local view = { title = "Start", tab = "Start", order = 0, column = "left", priority = 10, weight = 3, min_width = 46,
  min_height = 6, help = "What was used lately and what ships with Vise. Enter opens it; a recipe or a run goes on to the "
    .. "Run tab." }

function view.draw()
  ui.note(ui.count("places") .. " to choose from")
  ui.table{ source = "places", columns = {
    { field = "kind", title = " ", width = 6 },
    { field = "name", title = "name", width = 18, grow = 1 },
    { field = "about", title = "where, or what it does", width = 18, grow = 3, drop = 1 },
  }, empty = "Nothing yet: the file picker below opens a model." }
end

return view
