-- Files: a file picker. Enter opens what is under the cursor, h goes to the folder above.

local view = { title = "Files", tab = "Start", order = 0.2, column = "left", priority = 8, weight = 2, min_width = 46,
  min_height = 5, help = "A file picker: Enter opens, l goes into a folder, h goes up, :folder PATH jumps." }

function view.draw()
  ui.note(ui.folder())
  ui.table{ source = "files", columns = {
    { field = "kind", title = " ", width = 6 },
    { field = "name", title = "name", width = 20, grow = 1 },
    { field = "size", title = "size", as = "bytes", width = 9 },
  }, empty = "This folder is empty." }
end

return view
