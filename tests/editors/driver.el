;;; What the Emacs tests share: waiting, noting, and leaving.
;; -*- lexical-binding: t -*-

(require 'xref)

(defvar driver-seen nil "What was seen, an alist for JSON.")
(defvar driver-xrefs nil "What was shown as references last.")

(defun driver-note (key value)
  (push (cons key value) driver-seen))

(defun driver-wait (what condition)
  (let ((deadline (+ (float-time) 60)))
    (while (not (ignore-errors (funcall condition)))
      (when (> (float-time) deadline)
        (error "No %s within a minute" what))
      (accept-process-output nil 0.05))))

(defun driver-note-xref (key)
  "Note what was shown as references since the last time."
  (driver-wait (symbol-name key) (lambda () driver-xrefs))
  (driver-note key (mapcar (lambda (item)
                             (let ((location (xref-item-location item)))
                               (vector (xref-location-group location) (xref-location-line location))))
                           driver-xrefs))
  (setq driver-xrefs nil))

(defun driver-code-action (run)
  "Ask for the code actions at point, and run the first."
  (goto-char (point-min))
  (search-forward "transport(request)")
  (funcall run))

(defun driver-note-typed (attach place)
  "Type a function between characters that encodings count differently, and note the text that is found for it.
ATTACH connects the buffer; PLACE gives points where the first hit for the name begins and ends, or nil."
  (find-file (expand-file-name "src/größe.py" (getenv "EDITOR_TEST_ROOT")))
  (prog-mode)
  (insert "名 = '👍🏽 é'\n\n")
  (funcall attach)
  (goto-char (point-max))
  (insert "def quersumme(zahl):  # 漢字 👍\n    return sum(zahl)  # 漢 👩‍💻")
  (goto-char (point-min))
  (search-forward "👍🏽")
  (insert " ✓")
  (driver-wait "buffer"
               (lambda ()
                 (let ((found (funcall place)))
                   (when found
                     (driver-note 'typed (buffer-substring-no-properties (car found) (cdr found))))))))

(defun driver-run (work)
  "Do WORK in the folder under test, write what was seen, and leave Emacs."
  (advice-add 'xref-show-xrefs :override
              (lambda (fetcher _action) (setq driver-xrefs (funcall fetcher))))
  (let ((default-directory (file-name-as-directory (getenv "EDITOR_TEST_ROOT"))))
    (condition-case problem
        (funcall work)
      (error (driver-note 'problem (format "%S" problem)))))
  (with-temp-file (getenv "EDITOR_TEST_RESULT")
    (insert (json-encode driver-seen)))
  (kill-emacs 0))
