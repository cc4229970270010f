;;; Drives Emacs with lsp-mode and the documented configuration; writes what it saw to $EDITOR_TEST_RESULT.
;; -*- lexical-binding: t -*-

(require 'json)
(load (getenv "EDITOR_TEST_DRIVER"))
(load (getenv "EDITOR_TEST_CONFIGURATION"))

(setq lsp-auto-guess-root t
      lsp-session-file (expand-file-name "session" (getenv "HOME"))
      lsp-enable-file-watchers nil
      lsp-modeline-code-actions-enable nil
      lsp-headerline-breadcrumb-enable nil)

(driver-run
 (lambda ()
   (add-hook 'lsp-after-initialize-hook (lambda () (driver-note 'initialized t)))
   (add-to-list 'lsp-language-id-configuration '(prog-mode . "code"))
   (find-file "src/net/client.py")
   (prog-mode)
   (lsp-workspace-folders-add (getenv "EDITOR_TEST_ROOT"))
   (lsp)
   (driver-wait "server" (lambda () (assq 'initialized driver-seen)))
   (driver-wait "index"
                (lambda ()
                  (let ((status (mosearch-request "mosearch/status" nil)))
                    (string= "ready" (gethash "state" (aref (gethash "folders" status) 0))))))
   (driver-note 'symbols
                (mapcar (lambda (symbol) (lsp:symbol-information-name symbol))
                        (append (mosearch-request "workspace/symbol" '(:query "?retry when busy")) nil)))
   (mosearch-search "Checksum")
   (driver-note-xref 'search)
   (goto-char (point-min))
   (search-forward "transport(request)")
   (mosearch-similar)
   (driver-note-xref 'similar)
   (driver-code-action
    (lambda () (lsp-execute-code-action (car (lsp-code-actions-at-point)))))
   (driver-note-xref 'action)
   (driver-note-typed
    #'lsp
    (lambda ()
      (let* ((hits (gethash "hits" (mosearch-request "mosearch/search" '(:query "quersumme"))))
             (hit (and (> (length hits) 0) (aref hits 0)))
             (span (and hit (gethash "range" (gethash "location" hit)))))
        (when (and hit (string= "quersumme" (gethash "symbol" hit)))
          (cons (lsp--position-to-point (gethash "start" span))
                (lsp--position-to-point (gethash "end" span)))))))))
